"""How `make site` makes a site of the pages. It loads nothing from anywhere else."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

sys.path.insert(0, str(Path(__file__).parent))
import diagrams

project = "tierd"
html_title = "tierd"
root_doc = "docs/index"
extensions = ["myst_parser"]
include_patterns = ["docs/**", "ARCHITECTURE.md", "CHANGELOG.md"]
exclude_patterns = ["docs/conf.py"]
html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
nitpicky = True
# As GitHub names the headings of its pages: the links between them are for both.
myst_heading_anchors = 4


class Drawn(SphinxTransform):
    """Shows the pictures of a diagram in the place of its text."""

    default_priority = 400

    def apply(self) -> None:
        """Put two in the place of each; the theme shows that of the reader's scheme."""
        for block in list(self.document.findall(nodes.literal_block)):
            if block.get("language") == "mermaid":
                paths = {scheme: diagrams.picture(block.astext(), scheme) for scheme in diagrams.SCHEMES}
                block.replace_self(
                    [
                        nodes.image(uri=f"/{path.relative_to(diagrams.PROJECT)}", alt="", classes=[f"only-{scheme}"])
                        for scheme, path in paths.items()
                    ]
                )


def setup(app: Sphinx) -> None:
    """Have Sphinx do so."""
    app.add_transform(Drawn)
