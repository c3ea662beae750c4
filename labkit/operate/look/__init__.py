"""What a running lab shows of itself."""
