#include "accept.h"

#include "crc32c.h"
#include "response_head.h"
#include "server.h"

#include <time.h>

static const char generic_type[] = "application/octet-stream";

/* Type by the lower-cased extension of the file name, or NULL. */
static const char *type_of_name(const fv_server *server, fv_span name)
{
    uint8_t extension[256];
    const char *dot = memrchr(name.text, '.', name.length);
    if (dot == NULL || dot == name.text)
        return NULL;
    size_t length = name.length - (size_t)(dot - name.text);
    for (size_t i = 0; i < length; i++) {
        char c = dot[i];
        extension[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return fv_mime_table_find(server->mime, extension, length);
}

/* The mime to store: the part's own type, else the name's, else none
 * (weed/storage/needle/needle_parse_upload.go: parseUpload). */
static fv_span choose_mime(const fv_server *server, const fv_upload *upload)
{
    fv_span none = {"", 0};
    if (upload->content_type.length > 0 && !fv_span_is(upload->content_type, generic_type))
        return upload->content_type;
    const char *by_name = type_of_name(server, upload->filename);
    if (by_name == NULL || strcmp(by_name, generic_type) == 0)
        return none;
    return (fv_span){by_name, strlen(by_name)};
}

static int may_compress(const fv_upload *upload, fv_span mime)
{
    if (upload->is_replicate)
        return 0;
    if (mime.length > 0)
        return fv_upload_is_compressible(mime);
    const char *sniffed = fv_sniff_content_type(upload->data, upload->data_length);
    return fv_upload_is_compressible((fv_span){sniffed, strlen(sniffed)});
}

static void write_unchanged(const fv_server *server, uint32_t checksum, fv_output *out)
{
    FV_PUT(out, "HTTP/1.1 204 No Content\r\nContent-Md5: \r\nEtag: \"");
    fv_put_hex32(out, checksum);
    FV_PUT(out, "\"\r\n");
    fv_put_server_and_id(out, server);
    fv_put_date(out);
    FV_PUT(out, "\r\n");
}

static void write_created(const fv_server *server, const fv_upload *upload, fv_span mime,
                          uint32_t checksum, fv_output *out)
{
    uint8_t text[2 * 255 + 128];
    fv_output json = {text, 0, sizeof text};
    FV_PUT(&json, "{\"name\":\"");
    fv_put(&json, upload->filename.text, upload->filename.length);
    FV_PUT(&json, "\",\"size\":");
    fv_put_decimal(&json, upload->data_length);
    FV_PUT(&json, ",\"eTag\":\"");
    fv_put_hex32(&json, checksum);
    FV_PUT(&json, "\"");
    if (mime.length > 0) {
        FV_PUT(&json, ",\"mime\":\"");
        fv_put(&json, mime.text, mime.length);
        FV_PUT(&json, "\"");
    }
    FV_PUT(&json, "}");
    FV_PUT(out, "HTTP/1.1 201 Created\r\nContent-Md5: \r\nContent-Type: application/json\r\n"
                "Etag: \"");
    fv_put_hex32(out, checksum);
    FV_PUT(out, "\"\r\n");
    fv_put_server_and_id(out, server);
    FV_PUT(out, "X-Content-Type-Options: nosniff\r\n");
    fv_put_date(out);
    FV_PUT(out, "Content-Length: ");
    fv_put_decimal(out, json.length);
    FV_PUT(out, "\r\n\r\n");
    fv_put(out, json.data, json.length);
}

static int store(fv_server *server, fv_volume *volume, const fv_upload *upload, fv_output *out,
                 fv_reply *reply)
{
    unsigned not_ours = FV_VOLUME_NO_WRITE | (upload->is_replicate ? 0 : FV_VOLUME_REPLICATED);
    if ((fv_volume_flags(volume) & not_ours) != 0)
        return FV_REPLY_NOT_MINE;
    fv_span mime = choose_mime(server, upload);
    if (may_compress(upload, mime))
        return FV_REPLY_NOT_MINE;
    fv_needle needle;
    memset(&needle, 0, sizeof needle);
    needle.id = upload->needle_id;
    needle.cookie = upload->cookie;
    needle.data = upload->data;
    needle.data_size = (uint32_t)upload->data_length;
    needle.checksum = fv_crc32c(0, upload->data, upload->data_length);
    needle.flags = FV_NEEDLE_HAS_NAME | FV_NEEDLE_HAS_MIME | FV_NEEDLE_HAS_LAST_MODIFIED;
    needle.name = (const uint8_t *)upload->filename.text;
    needle.name_size = (uint32_t)upload->filename.length;
    needle.mime = (const uint8_t *)mime.text;
    needle.mime_size = (uint32_t)mime.length;
    needle.last_modified =
        upload->modified_second != 0 ? upload->modified_second : (uint64_t)time(NULL);
    fv_volume_ttl(volume, needle.ttl);
    if (needle.ttl[0] != 0 || needle.ttl[1] != 0)
        needle.flags |= FV_NEEDLE_HAS_TTL;
    fv_write_result result;
    uint64_t began = fv_now_ns();
    /* Whatever goes wrong here goes wrong again in the complete handler, which can say so. */
    if (fv_volume_write(volume, &needle, 1, 1, &result) != FV_OK)
        return FV_REPLY_NOT_MINE;
    reply->append_ns = fv_now_ns() - began;
    if (result.unchanged)
        write_unchanged(server, needle.checksum, out);
    else
        write_created(server, upload, mime, needle.checksum, out);
    reply->count = result.unchanged ? FV_COUNT_POST_204 : FV_COUNT_POST_201;
    return FV_REPLY_DONE;
}

int fv_accept(fv_server *server, const fv_upload *upload, fv_output *out, fv_reply *reply)
{
    assert(out->capacity - out->length >= FV_HEAD_MAX);
    memset(reply, 0, sizeof *reply);
    if (upload->data_length > server->options.upload_max)
        return FV_REPLY_NOT_MINE;
    fv_volume *volume = fv_server_find_volume(server, upload->volume_id);
    if (volume == NULL)
        return FV_REPLY_NOT_MINE;
    int result = store(server, volume, upload, out, reply);
    fv_volume_unref(volume);
    return result;
}
