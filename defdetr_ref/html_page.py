"""Pages that open from disk: what each of them begins with, and colours that are dark where the system is."""

from html import escape
from string import Template

COLOURS = """:root { color-scheme: light dark;
  --page-ground: light-dark(#f6f7f8, #15171a); --page-plate: light-dark(#fff, #1e2125);
  --page-ink: light-dark(#222, #e8eaec); --page-quiet: light-dark(#5a6570, #a3adb7);
  --page-line: light-dark(#dfe3e7, #33383e); --page-edge: light-dark(#cdd3d9, #4a525a);
  --page-wrong: light-dark(#a4231c, #ff9a92); }
body { margin: 0; background: var(--page-ground); color: var(--page-ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.4rem; line-height: 1.2; margin: 0 0 .8rem; }"""

# A page in the frame of another one sees the system's wish for light or dark, not what was chosen there: it is told.
TOLD_BY_ITS_FRAME = """<style>
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] { color-scheme: dark; }
</style>
<script>
addEventListener("message", ({ data }) => {
  if (data?.theme) document.documentElement.dataset.theme = data.theme;
});
</script>"""

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
$colours
$style
</style>
$more
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")


def html_page(title: str, body: str, *, style: str, more: str = "") -> str:
    """A whole page.

    title: as plain text, above the rest of the page, too
    body: HTML below the title
    style: CSS beside `COLOURS`, which names the colours
    more: HTML for the end of the head, such as `TOLD_BY_ITS_FRAME`
    """
    return PAGE.substitute(title=escape(title), body=body, style=style, more=more, colours=COLOURS)
