"""ONNX models: read, checked, rewritten in passes (Graph -> Graph), quantized and packed."""
