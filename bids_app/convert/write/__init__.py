"""Write the BIDS dataset and the report of the conversion."""
