"""Where a running lab is not what the rules say."""
