"""What a BIDS dataset holds, found and checked."""
