"""What fills the tables of this project's own documentation; a checkout of the repository has it, a wheel does not."""
