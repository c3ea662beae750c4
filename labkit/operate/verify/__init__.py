"""Whether a running lab is what its file claims and what the rules say."""
