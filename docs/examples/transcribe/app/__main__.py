"""Speech to text: `python -m app` is what the image's mode `serve` runs.

POST a recording that FFmpeg can read to /transcribe. The model is a folder in CTranslate2's format, mounted at /models.
"""

import ctypes
import io
import logging
import os
from pathlib import Path
from typing import Any

import ctranslate2
import uvicorn
from av import FFmpegError
from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from faster_whisper import WhisperModel
from faster_whisper.audio import decode_audio

MODEL = Path("/models")
SHUTDOWN_SECONDS = 8  # docker kills after 10

log = logging.getLogger("uvicorn.error")


def find_device() -> tuple[str, str]:
    """Return where CTranslate2 computes, and why not on a GPU."""
    if not ctranslate2.get_cuda_device_count():
        return "cpu", "no NVIDIA GPU is in this container"
    try:
        ctypes.CDLL("libcublas.so.12")
    except OSError as error:
        return "cpu", f"CTranslate2 is built for CUDA 12: {error}"
    return "cuda", ""


class Transcriber:
    """The model, where it computes, and why it does not do so on a GPU or at all."""

    def __init__(self) -> None:
        self.device, self.reason = find_device()
        self.model = WhisperModel(str(MODEL), device=self.device) if (MODEL / "model.bin").exists() else None

    def transcribe(self, recording: bytes) -> dict[str, Any]:
        """Return the text, its segments with their seconds, and where it was computed."""
        if not self.model:
            raise HTTPException(503, f"{MODEL} holds no model: mount one there")
        try:
            sound = decode_audio(io.BytesIO(recording))
        except (FFmpegError, IndexError) as error:
            raise HTTPException(400, f"FFmpeg cannot read this recording: {error}") from None
        spoken, information = self.model.transcribe(sound, vad_filter=True)
        segments = [{"start": each.start, "end": each.end, "text": each.text} for each in spoken]
        text = "".join(each["text"] for each in segments).strip()
        where = {"device": self.device, "reason": self.reason}
        return {"text": text, "language": information.language, "segments": segments, **where}


def create_app(transcriber: Transcriber) -> FastAPI:
    """The application; /health always answers at once, because the work is done in a thread."""
    app = FastAPI(title="Speech to text")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/transcribe")
    async def transcribe(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(transcriber.transcribe, await request.body())

    return app


def main() -> None:
    """Load the model, then serve until a signal comes."""
    transcriber = Transcriber()
    if transcriber.reason:
        log.warning("computing on the CPU: %s", transcriber.reason)
    if not transcriber.model:
        log.warning("%s holds no model: /transcribe answers 503", MODEL)
    port = int(os.environ.get("PORT") or "8000")
    uvicorn.run(create_app(transcriber), host="", port=port, timeout_graceful_shutdown=SHUTDOWN_SECONDS)


if __name__ == "__main__":
    main()
