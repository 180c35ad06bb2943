"""Making a file system with files in it, as makefs(8) does it.

`node` and `content` say what is wanted, `plan` gives each file its inode number and its blocks, counted
without the gaps that cylinder groups make, `size` finds the file system that has room for them, `blocks`
knows where its groups put them, and `image` writes it all, each part once and in order.
"""
