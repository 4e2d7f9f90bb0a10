"""Makes aes256_gcm_hkdf_1mb.json with Google's tink, which draws key, salts and prefixes at random.

In an environment with `pip install tink`: `python tests/vectors/tink/make.py > aes256_gcm_hkdf_1mb.json`. It takes
1.16.1, of PyPI, for the file that is here. Each plaintext is SHAKE128 of `ptolemy vector SIZE`.
"""

import base64
import hashlib
import io
import json
import sys

import tink
from tink import json_proto_keyset_format, secret_key_access, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2 as messages

FIRST, REST = 1_048_520, 1_048_560
FILES = {
    0: "empty",
    1: "a",
    100: "folder/b.bin",
    FIRST - 1: "below one segment",
    FIRST: "one segment",
    FIRST + 1: "above one segment",
    FIRST + REST - 1: "below two segments",
    FIRST + REST: "two segments",
    FIRST + REST + 1: "above two segments",
    FIRST + 2 * REST: "three segments",
    5_000_000: "a/deep/er/folder/5000000.bin",
}


class Kept(io.BytesIO):
    """What a stream has written, after it has closed this."""

    def close(self) -> None:
        """Keep the bytes."""
        self.kept = self.getvalue()
        super().close()


def main() -> None:
    """Print the vectors."""
    streaming_aead.register()
    handle = tink.new_keyset_handle(streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB)
    keyset = json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
    key = messages.AesGcmHkdfStreamingKey.FromString(base64.b64decode(keyset["key"][0]["keyData"]["value"]))
    primitive = handle.primitive(streaming_aead.StreamingAead)
    files = []
    for size, path in FILES.items():
        plain = hashlib.shake_128(f"ptolemy vector {size}".encode()).digest(size)
        target = Kept()
        with primitive.new_encrypting_stream(target, b"ptolemy/1:" + path.encode()) as stream:
            stream.write(plain)
        encrypted = target.kept
        files.append(
            {
                "plain_size": size,
                "path": path,
                "salt": encrypted[1:33].hex(),
                "prefix": encrypted[33:40].hex(),
                "size": len(encrypted),
                "sha256": hashlib.sha256(encrypted).hexdigest(),
            }
            | ({"encrypted": encrypted.hex()} if size <= 100 else {})
        )
    json.dump({"key": key.key_value.hex(), "files": files}, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
