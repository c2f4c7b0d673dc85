"""`recado status`, `top` and `doctor`: one survey of the cluster, shown in three ways."""
