"""The explorer: move a query over an image and see where every head reads on every level.

| file             | what it holds                                                        |
|------------------|----------------------------------------------------------------------|
| `exploration.py` | one forward pass on one image, and all that is shown of it           |
| `outputs.py`     | boxes, scores and proposals, from our models or those of transformers |
| `table.py`       | the points of many queries, packed                                   |
| `state.py`       | what the page is given                                               |
| `page.py`        | the page as one file, without Python                                 |
| `widget.py`      | the page in a notebook, with Python behind it                        |
| `web/`           | the page's own code, an ES module                                    |
"""
