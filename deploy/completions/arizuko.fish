# The script is that of the program, since what the two say to each other may change.
arizuko completions fish | source
