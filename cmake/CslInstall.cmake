# the installed library
