"""The bytes of the FFS superblock and of the cylinder group summary: ``struct fs``, ``struct csum``.

The same offsets serve UFS1 and UFS2 and every BSD; in the old UFS1 layout (bit FS_FLAGS_UPDATED of
fs_old_flags clear) most of bytes 860..1371 is undefined (`superblock` knows which).
Source: NetBSD sys/ufs/ffs/fs.h; FreeBSD sys/ufs/ffs/fs.h for fs_sblockactualloc, fs_mtime, fs_sujfree,
fs_ckhash and fs_metackhash, which lie in words that NetBSD leaves spare.
"""

from __future__ import annotations

from rumpfs.ondisk.layout import I8, I32, I64, RAW, U8, U32, U64, Record

#: Bytes reserved for a superblock, and bytes that the structure has.
SBLOCKSIZE = 8192
FS_SIZE = 1376

#: Byte offsets at which a primary superblock may lie, in the order of search (SBLOCKSEARCH).
SBLOCK_UFS1 = 8192
SBLOCK_UFS2 = 65536
SBLOCK_FLOPPY = 0
SBLOCK_PIGGY = 262144
SBLOCKSEARCH = (SBLOCK_UFS2, SBLOCK_UFS1, SBLOCK_FLOPPY, SBLOCK_PIGGY)

FS_UFS1_MAGIC = 0x011954
FS_UFS2_MAGIC = 0x19540119
FS_UFS2EA_MAGIC = 0x19012038
#: FreeBSD's newfs writes this first and the real magic last.
FS_BAD_MAGIC = 0x19960408

#: fs_old_flags: the 64-bit fields are valid and the flags are in fs_flags.
FS_FLAGS_UPDATED = 0x80

#: fs_clean
FS_ISCLEAN = 0x01
FS_WASCLEAN = 0x02

#: fs_flags. Bits 0x100 and 0x200 mean NFSv4 ACLs and check hashes on FreeBSD.
FS_UNCLEAN = 0x001
FS_DOSOFTDEP = 0x002
FS_NEEDSFSCK = 0x004
FS_SUJ = 0x008
FS_ACLS = 0x010
FS_MULTILABEL = 0x020
FS_GJOURNAL = 0x040
FS_DOWAPBL = 0x100
FS_DOQUOTA2 = 0x200
FS_METACKHASH = 0x200
FS_TRIM = 0x400

#: fs_quota_magic of a file system with in-filesystem quota.
Q2_HEAD_MAGIC = 0xB746915E

#: fs_old_inodefmt, fs_old_postblformat
FS_44INODEFMT = 2
FS_42POSTBLFMT = -1

#: Inode number of the root directory (UFS_ROOTINO); 0 is never valid and 1 is what whiteouts name.
ROOTINO = 2
#: fs_journal_version, fs_journal_location and fs_journal_flags (sys/ufs/ufs/ufs_wapbl.h): what is to be done
#: when the file system is mounted for writing.
UFS_WAPBL_VERSION = 1
UFS_WAPBL_JOURNALLOC_END_PARTITION = 1
UFS_WAPBL_JOURNALLOC_IN_FILESYSTEM = 2
UFS_WAPBL_FLAGS_CREATE_LOG = 1
UFS_WAPBL_FLAGS_CLEAR_LOG = 2

#: Direct and indirect block pointers of an inode (UFS_NDADDR, UFS_NIADDR).
NDADDR = 12
NIADDR = 3

DIRBLKSIZ = 512
APPLEUFS_DIRBLKSIZ = 1024

#: Largest fast symlink plus one, in bytes: the room of the block pointers.
MAXSYMLINKLEN_UFS1 = 60
MAXSYMLINKLEN_UFS2 = 120

CSUM = Record(
    "csum",
    16,
    (
        (0, "cs_ndir", I32),
        (4, "cs_nbfree", I32),
        (8, "cs_nifree", I32),
        (12, "cs_nffree", I32),
    ),
)

FS = Record(
    "fs",
    FS_SIZE,
    (
        (0, "fs_firstfield", I32),
        (4, "fs_unused_1", I32),
        (8, "fs_sblkno", I32),
        (12, "fs_cblkno", I32),
        (16, "fs_iblkno", I32),
        (20, "fs_dblkno", I32),
        (24, "fs_old_cgoffset", I32),
        (28, "fs_old_cgmask", I32),
        (32, "fs_old_time", I32),
        (36, "fs_old_size", I32),
        (40, "fs_old_dsize", I32),
        (44, "fs_ncg", U32),
        (48, "fs_bsize", I32),
        (52, "fs_fsize", I32),
        (56, "fs_frag", I32),
        (60, "fs_minfree", I32),
        (64, "fs_old_rotdelay", I32),
        (68, "fs_old_rps", I32),
        (72, "fs_bmask", I32),
        (76, "fs_fmask", I32),
        (80, "fs_bshift", I32),
        (84, "fs_fshift", I32),
        (88, "fs_maxcontig", I32),
        (92, "fs_maxbpg", I32),
        (96, "fs_fragshift", I32),
        (100, "fs_fsbtodb", I32),
        (104, "fs_sbsize", I32),
        (108, "fs_spare1", I32[2]),
        (116, "fs_nindir", I32),
        (120, "fs_inopb", U32),
        (124, "fs_old_nspf", I32),
        (128, "fs_optim", I32),
        (132, "fs_old_npsect", I32),
        (136, "fs_old_interleave", I32),
        (140, "fs_old_trackskew", I32),
        (144, "fs_id", I32[2]),
        (152, "fs_old_csaddr", I32),
        (156, "fs_cssize", I32),
        (160, "fs_cgsize", I32),
        (164, "fs_spare2", I32),
        (168, "fs_old_nsect", I32),
        (172, "fs_old_spc", I32),
        (176, "fs_old_ncyl", I32),
        (180, "fs_old_cpg", I32),
        (184, "fs_ipg", U32),
        (188, "fs_fpg", I32),
        (192, "fs_old_cstotal", I32[4]),
        (208, "fs_fmod", I8),
        (209, "fs_clean", U8),
        (210, "fs_ronly", I8),
        (211, "fs_old_flags", U8),
        (212, "fs_fsmnt", RAW[468]),
        (680, "fs_volname", RAW[32]),
        (712, "fs_swuid", U64),
        (720, "fs_pad", I32),
        (724, "fs_cgrotor", I32),
        (728, "fs_ocsp", RAW[128]),
        (856, "fs_old_cpc", I32),
        (860, "fs_maxbsize", I32),
        (864, "fs_journal_version", U8),
        (865, "fs_journal_location", U8),
        (866, "fs_journal_reserved", RAW[2]),
        (868, "fs_journal_flags", U32),
        (872, "fs_journallocs", U64[4]),
        (904, "fs_quota_magic", U32),
        (908, "fs_quota_flags", U8),
        (909, "fs_quota_reserved", RAW[3]),
        (912, "fs_quotafile", U64[2]),
        (928, "fs_sparecon64", I64[8]),
        (992, "fs_sblockactualloc", I64),
        (1000, "fs_sblockloc", I64),
        (1008, "fs_cstotal", I64[4]),
        (1040, "fs_cstotal_spare", I64[4]),
        (1072, "fs_time", I64),
        (1080, "fs_size", I64),
        (1088, "fs_dsize", I64),
        (1096, "fs_csaddr", I64),
        (1104, "fs_pendingblocks", I64),
        (1112, "fs_pendinginodes", I32),
        (1116, "fs_snapinum", U32[20]),
        (1196, "fs_avgfilesize", I32),
        (1200, "fs_avgfpdir", I32),
        (1204, "fs_save_cgsize", I32),
        (1208, "fs_mtime", I64),
        (1216, "fs_sujfree", U32),
        (1220, "fs_sparecon32", I32[21]),
        (1304, "fs_ckhash", U32),
        (1308, "fs_metackhash", U32),
        (1312, "fs_flags", U32),
        (1316, "fs_contigsumsize", I32),
        (1320, "fs_maxsymlinklen", I32),
        (1324, "fs_old_inodefmt", I32),
        (1328, "fs_maxfilesize", U64),
        (1336, "fs_qbmask", I64),
        (1344, "fs_qfmask", I64),
        (1352, "fs_state", I32),
        (1356, "fs_old_postblformat", I32),
        (1360, "fs_old_nrpos", I32),
        (1364, "fs_old_postbloff", I32),
        (1368, "fs_old_rotbloff", I32),
        (1372, "fs_magic", U32),
    ),
)
