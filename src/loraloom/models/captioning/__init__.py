"""Networks that say what pictures show: BLIP, BLIP-2, and taggers in ONNX."""
