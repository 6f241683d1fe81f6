"""What is shown: figures, tables of the terminal, the HTML page."""
