"""A detector in a file that runs without this package and without PyTorch: ONNX.

export_onnx(model, "detector.onnx")
outputs = OnnxDetector("detector.onnx")(images)      # the same in ONNX Runtime

The extra `export` brings what this needs: onnx, onnxscript and onnxruntime.
"""

from defdetr_ref.export.onnx_detector import OnnxDetector
from defdetr_ref.export.onnx_file import PRECISIONS, export_onnx
from defdetr_ref.export.sampling import SAMPLINGS

__all__ = ["PRECISIONS", "SAMPLINGS", "OnnxDetector", "export_onnx"]
