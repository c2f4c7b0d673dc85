"""`recado user`, `recado channel`, `recado audit`: who is who, who may what, and who changed it."""
