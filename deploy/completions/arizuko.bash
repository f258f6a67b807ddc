# Runs the script that the program prints, since a script works only with the program of its
# version.
eval "$(arizuko completions bash)"
