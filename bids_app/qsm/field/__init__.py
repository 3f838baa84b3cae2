"""Phase of the echoes to the total field, and corrections of that field."""
