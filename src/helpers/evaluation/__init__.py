"""Evaluation: what is asked, how answers are scored, and how sure a score is. Introduced in notebook 07."""
