/* Recordings in WAV files, by libsndfile. */
#include "media.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sndfile.h>

#define UNKNOWN_SIZE 0x7FFFF000U /* writers that cannot seek leave such a length, or a larger one */

/* libsndfile reads a truncated file as a shorter one: compare the length in the header with the file. */
static ls_status check_length(FILE *file, const char *path) {
  unsigned char h[8] = {0};
  struct stat info;
  const bool is_read = fread(h, 1, sizeof h, file) == sizeof h && fstat(fileno(file), &info) == 0;
  const uint32_t length = (uint32_t)h[7] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[5] << 8 | h[4];
  if (!is_read || (memcmp(h, "RIFF", 4) != 0 && memcmp(h, "RF64", 4) != 0))
    return ls_fail(LS_ERR_DATA, "%s: not a WAV file: does not begin with RIFF", path);
  if (length >= UNKNOWN_SIZE || length + sizeof h <= (uint64_t)info.st_size) return LS_OK;
  return ls_fail(LS_ERR_DATA, "%s: truncated WAV: has %" PRIu64 " bytes, but its header states %" PRIu64,
                 path, (uint64_t)info.st_size, (uint64_t)length + sizeof h);
}

static bool is_wav(const SF_INFO *info) {
  const int type = info->format & SF_FORMAT_TYPEMASK;
  return type == SF_FORMAT_WAV || type == SF_FORMAT_WAVEX || type == SF_FORMAT_RF64;
}

/* Integers become numbers from -1 to 1. */
static ls_status read_values(SNDFILE *sound, const char *path, const media *m, float *values) {
  const size_t count = import_media_count(m);
  size_t done = 0;
  while (done < m->height) {
    const size_t step = ls_size_min(m->height - done, LS_HEARTBEAT_BYTES / sizeof *values / m->channels);
    const sf_count_t got = sf_readf_float(sound, values + done * m->channels, (sf_count_t)step);
    ls_heartbeat();
    if (got <= 0) break;
    done += (size_t)got;
  }
  if (done < m->height)
    return ls_fail(LS_ERR_DATA, "%s: truncated WAV: has %zu frames, but its header states %zu", path, done,
                   m->height);
  for (size_t i = 0; i < count; i++)
    if (!import_cell_fits_float((double)values[i]))
      return ls_fail(LS_ERR_DATA, "%s: value %zu (from 1): %g: must be finite", path, i + 1,
                     (double)values[i]);
  return LS_OK;
}

static ls_status read_sound(SNDFILE *sound, const SF_INFO *info, const char *path, media *m,
                            media_buffer *buffer) {
  if (!is_wav(info) || info->frames < 0 || info->channels < 1 || info->samplerate < 1)
    return ls_fail(LS_ERR_DATA, "%s: not a WAV file", path);
  *m = (media){.height = (size_t)info->frames,
               .width = 1,
               .channels = (size_t)info->channels,
               .dtype = LS_F32,
               .rate = (uint64_t)info->samplerate};
  LS_TRY(import_media_reserve(path, m, buffer));
  return buffer ? read_values(sound, path, m, buffer->values) : LS_OK;
}

static ls_status read_wav(FILE *file, const char *path, media *m, media_buffer *buffer) {
  SF_INFO info = {0};
  LS_TRY(check_length(file, path));
  lseek(fileno(file), 0, SEEK_SET); /* libsndfile does not use the stream */
  SNDFILE *const sound = sf_open_fd(fileno(file), SFM_READ, &info, SF_FALSE);
  if (!sound) return ls_fail(LS_ERR_DATA, "%s: damaged WAV: %s", path, sf_strerror(NULL));
  const ls_status status = read_sound(sound, &info, path, m, buffer);
  sf_close(sound);
  return status;
}

void import_audio_convert(const media *from, const float *values, const media *to, float *out) {
  const size_t frames = ls_size_min(from->height, to->height);
  memset(out, 0, import_media_count(to) * sizeof *out);
  if (from->channels == to->channels) {
    memcpy(out, values, frames * to->channels * sizeof *out);
    return;
  }
  for (size_t i = 0; i < frames; i++) {
    double sum = 0.0;
    for (size_t c = 0; c < from->channels; c++) sum += (double)values[i * from->channels + c];
    out[i] = (float)(sum / (double)from->channels);
  }
}

const media_type import_wav = {.name = "WAV", .endings = {".wav"}, .is_audio = true, .read = read_wav};
