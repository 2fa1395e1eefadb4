"""What people import, and that importing is cheap."""

import subprocess
import sys

import defdetr_ref


def test_public_names():
    assert all(hasattr(defdetr_ref, name) for name in defdetr_ref.__all__)
    assert callable(defdetr_ref.explain.record) and callable(defdetr_ref.training.train)
    assert callable(defdetr_ref.hugging_face.use_ms_deform_attn) and callable(defdetr_ref.export.export_onnx)
    assert callable(defdetr_ref.live.save_page) and callable(defdetr_ref.zoo.load)


def test_importing_the_package_leaves_pictures_and_evaluation_out():
    code = "import sys, defdetr_ref; print([m for m in ('matplotlib', 'pycocotools', 'sklearn') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_exercises_have_a_short_name():
    import defdetr_ref.exercises
    from defdetr_ref.course import exercises

    assert sys.modules["defdetr_ref.exercises"] is exercises is defdetr_ref.exercises


def test_recording_leaves_evaluation_out():
    code = "import sys, defdetr_ref.explain.recording, defdetr_ref.inference; print('pycocotools' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
