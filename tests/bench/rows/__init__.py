"""The work of each row of the speed table: what is loaded, what each contestant does, what bounds it."""
