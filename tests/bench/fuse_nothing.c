/*
 * The yardstick of the FUSE rows: a file system that knows names, types and lengths, and nothing else. It does
 * what no file system can leave out (it finds names, counts lookups, frees what is forgotten, lists with
 * attributes), but keeps no data: files read as zeros.
 *
 * fuse_nothing MOUNTPOINT TIMEOUT DIRECTORIES FILES SIZE
 *     TIMEOUT: seconds that the host may cache; there are DIRECTORIES directories d0, d1, ... of FILES files
 *     f000000, f000001, ... of SIZE bytes each.
 */
#define FUSE_USE_VERSION 35
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUCKETS (1 << 18)

struct node {
    struct node *parent, *chain, **entries;
    size_t count, room, place; /* of a directory's entries; where it stands among its directory's */
    unsigned long nlookup;
    unsigned long number;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    nlink_t nlink;
    off_t size;
    char *name;
};

static struct node root = {.mode = S_IFDIR | 0777, .nlink = 2, .number = 1, .nlookup = 1};
static struct node *buckets[BUCKETS];
static unsigned long last_number = 1;
static double timeout;
static char zeros[1 << 20];

static struct node *at(fuse_ino_t ino) {
    return ino == FUSE_ROOT_ID ? &root : (struct node *)ino;
}

static struct node **bucket(struct node *parent, const char *name) {
    unsigned long hash = (unsigned long)parent / sizeof(struct node);
    while (*name)
        hash = (hash ^ (unsigned char)*name++) * 1099511628211UL;
    return &buckets[(hash ^ hash >> 29) % BUCKETS];
}

static struct node **find(struct node *parent, const char *name) {
    struct node **link = bucket(parent, name);
    while (*link && ((*link)->parent != parent || strcmp((*link)->name, name)))
        link = &(*link)->chain;
    return link;
}

static struct node *make(struct node *parent, const char *name, mode_t mode, const struct fuse_ctx *who) {
    struct node *node = calloc(1, sizeof *node);
    node->parent = parent;
    node->name = strdup(name);
    node->mode = mode;
    node->nlink = S_ISDIR(mode) ? 2 : 1;
    node->number = ++last_number;
    node->uid = who ? who->uid : getuid();
    node->gid = who ? who->gid : getgid();
    *find(parent, name) = node;
    if (parent->count == parent->room)
        parent->entries = realloc(parent->entries, (parent->room += parent->room + 16) * sizeof node);
    node->place = parent->count;
    parent->entries[parent->count++] = node;
    return node;
}

static void release_node(struct node *node) {
    if (node->nlookup || node->nlink || node == &root)
        return;
    free(node->entries);
    free(node->name);
    free(node);
}

static void attributes(struct node *node, struct stat *st) {
    memset(st, 0, sizeof *st);
    st->st_ino = node->number;
    st->st_mode = node->mode;
    st->st_nlink = node->nlink;
    st->st_uid = node->uid;
    st->st_gid = node->gid;
    st->st_size = node->size;
    st->st_blocks = (node->size + 511) / 512;
}

static struct fuse_entry_param entry(struct node *node) {
    struct fuse_entry_param e = {.attr_timeout = timeout, .entry_timeout = timeout};
    e.ino = (fuse_ino_t)node;
    attributes(node, &e.attr);
    node->nlookup++;
    return e;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
    struct node *node = *find(at(parent), name);
    if (!node) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct fuse_entry_param e = entry(node);
    fuse_reply_entry(req, &e);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count) {
    at(ino)->nlookup -= count;
    release_node(at(ino));
    fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) {
    for (size_t i = 0; i < count; i++) {
        at(forgets[i].ino)->nlookup -= forgets[i].nlookup;
        release_node(at(forgets[i].ino));
    }
    fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    struct stat st;
    attributes(at(ino), &st);
    fuse_reply_attr(req, &st, timeout);
}

static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *fi) {
    struct node *node = at(ino);
    if (set & FUSE_SET_ATTR_MODE)
        node->mode = st->st_mode;
    if (set & FUSE_SET_ATTR_SIZE)
        node->size = st->st_size;
    do_getattr(req, ino, fi);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
    struct fuse_entry_param e = entry(make(at(parent), name, S_IFDIR | mode, fuse_req_ctx(req)));
    fuse_reply_entry(req, &e);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
    struct node *directory = at(parent), **link = find(directory, name), *node = *link;
    if (!node) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    *link = node->chain;
    directory->entries[node->place] = NULL;
    while (directory->count && !directory->entries[directory->count - 1])
        directory->count--;
    node->nlink = 0;
    release_node(node);
    fuse_reply_err(req, 0);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi) {
    struct fuse_entry_param e = entry(make(at(parent), name, S_IFREG | mode, fuse_req_ctx(req)));
    fi->keep_cache = 1;
    fuse_reply_create(req, &e, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi) {
    off_t left = off < at(ino)->size ? at(ino)->size - off : 0;
    fuse_reply_buf(req, zeros, (off_t)size < left ? size : (size_t)left);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                     struct fuse_file_info *fi) {
    if (off + (off_t)size > at(ino)->size)
        at(ino)->size = off + size;
    fuse_reply_write(req, size);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
    fuse_reply_err(req, 0);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi) {
    static char *buffer;
    static size_t room;
    struct node *directory = at(ino);
    size_t used = 0;
    if (room < size)
        buffer = realloc(buffer, room = size);
    for (size_t i = off; i < directory->count; i++) {
        struct node *node = directory->entries[i];
        if (!node)
            continue;
        struct fuse_entry_param e = entry(node);
        size_t length = fuse_add_direntry_plus(req, buffer + used, size - used, node->name, &e, i + 1);
        if (length > size - used) {
            node->nlookup--;
            break;
        }
        used += length;
    }
    fuse_reply_buf(req, buffer, used);
}

static void do_init(void *userdata, struct fuse_conn_info *conn) {
    conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
}

static const struct fuse_lowlevel_ops operations = {
    .init = do_init, .lookup = do_lookup, .forget = do_forget, .forget_multi = do_forget_multi,
    .getattr = do_getattr, .setattr = do_setattr, .mkdir = do_mkdir, .unlink = do_unlink, .rmdir = do_unlink,
    .open = do_open, .create = do_create, .read = do_read, .write = do_write, .release = do_release,
    .readdirplus = do_readdirplus,
};

static void fill(int directories, int files, off_t size) {
    char name[32];
    for (int d = 0; d < directories; d++) {
        sprintf(name, "d%d", d);
        struct node *directory = make(&root, name, S_IFDIR | 0755, NULL);
        for (int f = 0; f < files; f++) {
            sprintf(name, "f%06d", f);
            make(directory, name, S_IFREG | 0644, NULL)->size = size;
        }
    }
}

int main(int argc, char **argv) {
    char *words[] = {argv[0], "-o", "default_permissions,fsname=fuse_nothing"};
    struct fuse_args args = FUSE_ARGS_INIT(3, words);
    if (argc != 6)
        return 2;
    timeout = atof(argv[2]);
    root.uid = getuid();
    root.gid = getgid();
    fill(atoi(argv[3]), atoi(argv[4]), atol(argv[5]));
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
    if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
        return 1;
    int status = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return status != 0;
}
