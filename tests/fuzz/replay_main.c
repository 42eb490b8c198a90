/* Replays a corpus folder through a fuzz target, for compilers without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    long size = ftell(f);
    rewind(f);
    uint8_t *data = size < 0 ? NULL : malloc((size_t)size + 1);
    int bad = data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size;
    if (!bad) {
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    }
    free(data);
    fclose(f);
    return bad;
}

int main(int argc, char **argv) {
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (dir == NULL) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 64;
    }
    int n = 0, bad = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] != '.') {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
            bad |= replay(path);
            n++;
        }
    }
    closedir(dir);
    printf("%d inputs replayed\n", n);
    return bad || n == 0;
}
