"""What several tests share: fabricated scans, studies and tables."""
