"""Messages: templates, Markdown, and their conversion to text and HTML."""
