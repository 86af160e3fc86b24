"""What a course shows about the parts of a language model rather than with them."""
