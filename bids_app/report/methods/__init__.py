"""The methods text and the bibliography."""
