"""What a model's matrices read when it reads a text: the data of data-aware methods."""
