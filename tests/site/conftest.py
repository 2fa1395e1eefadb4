"""The site's own extensions live in docs/site_parts, which is not installed."""

import sys

from tests.site.building import DOCS

sys.path.insert(0, str(DOCS))
