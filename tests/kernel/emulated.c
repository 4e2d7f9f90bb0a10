/* Calls functions of a shared library for another process, on a CPU that is emulated.
 *
 * Arguments: the library, and the number of a Unix socket. A request is a `struct request`, perhaps with a descriptor
 * beside it, the places of addresses in the memory, and `size` bytes of memory. The answer is the result and the same
 * memory after the call, with a descriptor beside it if the function opened one. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ARGUMENTS = 12 };

struct request {
    char function[64];
    int64_t size;       /* of the memory */
    int64_t addresses;  /* number of places in the memory where offsets in it are, which become addresses */
    int64_t descriptor; /* whether argument 0 is the descriptor that came along */
    int64_t result;     /* 0: a number; 1: a descriptor; 2: a string or NULL, which is copied to the memory's start */
    int64_t arguments[ARGUMENTS];
    int64_t is_address[ARGUMENTS]; /* the argument is an offset in the memory */
};

typedef int64_t function(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                         int64_t, int64_t);

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static int fail(const char *what) {
    perror(what);
    exit(3);
}

static void read_all(int socket, void *to, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(socket, (char *)to + done, size - done);
        if (got <= 0) fail("read");
        done += (size_t)got;
    }
}

static void write_all(int socket, const void *from, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t sent = write(socket, (const char *)from + done, size - done);
        if (sent <= 0) fail("write");
        done += (size_t)sent;
    }
}

/* Receive the first byte of a request, and the descriptor with it, or -1. Returns 0 at the end. */
static int receive_first(int socket, char *byte, int *descriptor) {
    union control control;
    struct iovec part = {byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0) fail("recvmsg");
    struct cmsghdr *found = got ? CMSG_FIRSTHDR(&message) : NULL;
    *descriptor = -1;
    if (found) memcpy(descriptor, CMSG_DATA(found), sizeof(int));
    return got > 0;
}

static void send_result(int socket, int64_t result, int descriptor) {
    union control control;
    memset(&control, 0, sizeof control);
    struct iovec part = {&result, sizeof result};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.header), &descriptor, sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    if (sendmsg(socket, &message, 0) != sizeof result) fail("sendmsg");
}

static int64_t call(void *library, struct request *request, const int64_t *places, char *memory) {
    for (int64_t i = 0; i < request->addresses; i++) {
        char *place = memory + places[i], *target;
        int64_t offset;
        memcpy(&offset, place, sizeof offset);
        target = memory + offset;
        memcpy(place, &target, sizeof target);
    }
    int64_t *a = request->arguments;
    for (int i = 0; i < ARGUMENTS; i++)
        if (request->is_address[i]) a[i] = (int64_t)(intptr_t)(memory + a[i]);
    function *called = (function *)(intptr_t)dlsym(library, request->function);
    if (!called) fail(request->function);
    return called(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11]);
}

int main(int count, char **words) {
    void *library = count == 3 ? dlopen(words[1], RTLD_NOW) : NULL;
    if (!library) fail("dlopen");
    int socket = atoi(words[2]), descriptor;
    struct request request;
    while (receive_first(socket, request.function, &descriptor)) {
        read_all(socket, request.function + 1, sizeof request - 1);
        size_t size = (size_t)request.addresses * sizeof(int64_t);
        int64_t *places = malloc(size + 1);
        char *memory = malloc((size_t)request.size + 1);
        if (!places || !memory) fail("malloc");
        read_all(socket, places, size);
        read_all(socket, memory, (size_t)request.size);
        if (request.descriptor) request.arguments[0] = descriptor;
        int64_t result = call(library, &request, places, memory);
        int opened = request.result == 1 ? (int)result : -1;
        if (request.result == 2 && result) strncpy(memory, (const char *)(intptr_t)result, (size_t)request.size);
        send_result(socket, result, opened);
        write_all(socket, memory, (size_t)request.size);
        if (opened >= 0) close(opened);
        if (descriptor >= 0) close(descriptor);
        free(places);
        free(memory);
    }
    return 0;
}
