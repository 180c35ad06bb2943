"""The FFS family (UFS1, UFS2): superblock, cylinder groups, inodes, directories."""
