/* A network switch in user space whose every frame takes the same time from port to port: it stands in for
 * the length of the wires, which the kernel's own queues cannot provide everywhere (netem is often left
 * out).
 *
 *   wire DELAY_US PID...
 *
 * Port i (from 1) is a TAP device "eth0" in the network namespace of process PID i, and the frames for it
 * are those to the Ethernet address 02:00:00:00:00:i; those to a group go to all others. Prints "ready" and
 * then runs until its standard input ends, as it does when the parent is gone. A byte i there cuts port i
 * off, frames in both directions are discarded, and the next one connects it again. Frames keep
 * their offloads: up to 64 KiB each, so there are few. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS   32
#define OFFLOAD     10 /* bytes of the header that describes offloads */
#define ETHERNET    14
#define MAX_FRAME   (OFFLOAD + ETHERNET + 65536)
#define MAX_FRAMES  2048 /* in transit; further ones are discarded, as in any switch */
#define MAX_AT_ONCE 16   /* read from one port before the next one */

typedef struct frame {
  int64_t due; /* ns */
  size_t bytes;
  int from;
  unsigned char content[MAX_FRAME];
} frame;

/* All frames have the same delay, so the queue is a ring buffer. */
typedef struct wire {
  int ports[MAX_PORTS]; /* -1: its namespace is gone */
  bool is_cut[MAX_PORTS];
  int n_ports;
  int64_t delay; /* ns */
  frame *frames;
  size_t first, count;
} wire;

static void must(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "wire: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Leaves the caller in that namespace. */
static int open_port(const char *pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/ns/net", pid);
  const int space = open(path, O_RDONLY | O_CLOEXEC);
  must(space >= 0, path);
  must(setns(space, CLONE_NEWNET) == 0, path);
  close(space);
  const int port = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  must(port >= 0, "/dev/net/tun");
  struct ifreq request = {.ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
  must(ioctl(port, TUNSETIFF, &request) == 0, "a TAP device");
  must(ioctl(port, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) == 0, "offloads of a TAP device");
  return port;
}

/* Reads a frame from the port; returns whether there was one. */
static bool take(wire *w, int port) {
  static unsigned char lost[MAX_FRAME];
  const bool room = w->count < MAX_FRAMES;
  frame *const f = &w->frames[(w->first + w->count) % MAX_FRAMES];
  const ssize_t bytes = read(w->ports[port], room ? f->content : lost, MAX_FRAME);
  if (bytes < 0 && errno == EBADFD) w->ports[port] = -1;
  if (bytes < OFFLOAD + ETHERNET) return bytes > 0;
  if (!room || w->is_cut[port]) return true;
  f->due = now() + w->delay;
  f->bytes = (size_t)bytes;
  f->from = port;
  w->count++;
  return true;
}

/* A port whose buffer is full discards the frame. */
static void deliver(wire *w, const frame *f) {
  const unsigned char *const address = f->content + OFFLOAD;
  const bool to_group = (address[0] & 1) != 0;
  if (w->is_cut[f->from]) return;
  for (int port = 0; port < w->n_ports; port++) {
    if (port == f->from || (!to_group && address[5] != port + 1)) continue;
    if (w->is_cut[port] || w->ports[port] < 0) continue;
    const ssize_t written = write(w->ports[port], f->content, f->bytes);
    if (written < 0 && errno == EBADFD) w->ports[port] = -1;
    if (written < 0 && errno != EBADFD && errno != EAGAIN && errno != EIO)
      must(false, "a frame"); /* EIO: the device is down */
  }
}

static void deliver_due(wire *w) {
  for (; w->count > 0 && w->frames[w->first].due <= now(); w->count--) {
    deliver(w, &w->frames[w->first]);
    w->first = (w->first + 1) % MAX_FRAMES;
  }
}

/* A byte of standard input; false once it has ended. */
static bool obey(wire *w) {
  unsigned char port = 0;
  if (read(STDIN_FILENO, &port, 1) <= 0) return false;
  if (port >= 1 && port <= w->n_ports) w->is_cut[port - 1] = !w->is_cut[port - 1];
  return true;
}

/* Waits for frames or for the first to be due; false once standard input has ended. */
static bool await(wire *w) {
  struct pollfd polled[MAX_PORTS + 1];
  for (int port = 0; port < w->n_ports; port++)
    polled[port] = (struct pollfd){.fd = w->ports[port], .events = POLLIN};
  polled[w->n_ports] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
  int64_t left = w->count > 0 ? w->frames[w->first].due - now() : 0;
  if (left < 0) left = 0;
  const struct timespec time = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
  must(ppoll(polled, (nfds_t)w->n_ports + 1, w->count > 0 ? &time : NULL, NULL) >= 0 || errno == EINTR,
       "poll");
  return polled[w->n_ports].revents == 0 || obey(w);
}

int main(int argc, char **argv) {
  if (argc < 3 || argc - 2 > MAX_PORTS) {
    fprintf(stderr, "usage: wire DELAY_US PID... (at most %d)\n", MAX_PORTS);
    return 2;
  }
  wire w = {.n_ports = argc - 2, .delay = strtol(argv[1], NULL, 10) * 1000};
  w.frames = malloc(MAX_FRAMES * sizeof *w.frames);
  must(w.frames != NULL, "memory");
  for (int port = 0; port < w.n_ports; port++) w.ports[port] = open_port(argv[2 + port]);
  prctl(PR_SET_TIMERSLACK, 1000UL); /* ns: the usual 50000 would show in the delay */
  puts("ready");
  fflush(stdout);
  while (await(&w)) {
    deliver_due(&w);
    for (int port = 0; port < w.n_ports; port++)
      for (int n = 0; n < MAX_AT_ONCE && w.ports[port] >= 0 && take(&w, port);) n++;
    deliver_due(&w);
  }
  free(w.frames);
  return 0;
}
