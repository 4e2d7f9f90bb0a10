"""What happens by itself: watched folders are scanned, and what a scan found becomes CARs."""
