import matgan.data.weights  # noqa: F401  its source joins SOURCES, whoever asks for them
