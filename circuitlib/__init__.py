"""Zero-ablation of attention heads, and searchers for the heads that matter.

For the ablation alone, ``from circuitlib import head_damage, plot_head_damage`` is all there is to know;
everything else is in the modules. Importing the package loads neither torch nor a model.
"""

from circuitlib.head_damage import head_damage, plot_head_damage

__all__ = ["head_damage", "plot_head_damage"]
