"""From a cohort's content to the bytes of each person's mail."""
