"""So that `torchrun -m defdetr_ref.cli train …` works."""

import sys

from defdetr_ref.cli import main

sys.exit(main())
