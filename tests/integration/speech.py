"""Synthesized speech, and a model of random numbers that writes nonsense: neither is downloaded."""

import io
import math
import random
import struct
import wave
from collections.abc import Iterable, Iterator

RATE = 16_000  # samples in a second
PITCH = 120  # of the voice, in Hz
# Frequency and bandwidth of each vowel's formants, in Hz.
VOWELS = {
    "a": ((730, 90), (1090, 110), (2440, 170)),
    "i": ((270, 60), (2290, 100), (3010, 170)),
    "u": ((300, 70), (870, 90), (2240, 170)),
}
SPOKEN = "aiuaiaui"
SILENCE = [0.0] * RATE

# Prints the spans of speech in the recordings that are named, in seconds, as JSON.
FIND_SPEECH = f"""
import json, sys
from faster_whisper.audio import decode_audio
from faster_whisper.vad import get_speech_timestamps
spans = [get_speech_timestamps(decode_audio(file)) for file in sys.argv[1:]]
print(json.dumps([[[span["start"] / {RATE}, span["end"] / {RATE}] for span in each] for each in spans]))
"""

# Writes a model with one layer in CTranslate2's format to the folder that is named.
MAKE_MODEL = """
import sys
import numpy
from ctranslate2.specs.whisper_spec import WhisperSpec
from faster_whisper.tokenizer import _LANGUAGE_CODES as LANGUAGES
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

WIDTH, SIZE = 8, 51865  # the size of the vocabulary says how many languages there are
LANGUAGES = [f"<|{name}|>" for name in LANGUAGES if name != "yue"]
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", *LANGUAGES, "<|translate|>", "<|transcribe|>", "<|startoflm|>",
           "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", *(f"<|{step / 50:.2f}|>" for step in range(1501))]
WORDS = [f"word{number}" for number in range(SIZE - len(SPECIAL))] + SPECIAL
generator = numpy.random.default_rng(0)

def make(*shape):
    return generator.standard_normal(shape).astype(numpy.float32)

def fill(layer, *shape):
    layer.weight, layer.bias = make(*shape), numpy.zeros(shape[0], numpy.float32)

def fill_norm(layer):
    layer.gamma, layer.beta = numpy.ones(WIDTH, numpy.float32), numpy.zeros(WIDTH, numpy.float32)

def fill_attention(attention, *sizes):
    fill_norm(attention.layer_norm)
    for layer, size in zip(attention.linear, sizes, strict=True):
        fill(layer, size, WIDTH)

model = WhisperSpec(1, 1, 1, 1)
fill(model.encoder.conv1, WIDTH, 80, 3)
fill(model.encoder.conv2, WIDTH, WIDTH, 3)
for part, length in ((model.encoder, 1500), (model.decoder, 448)):
    part.position_encodings.encodings = make(length, WIDTH)
    fill_norm(part.layer_norm)
    [layer] = part.layer
    fill_attention(layer.self_attention, 3 * WIDTH, WIDTH)
    fill_norm(layer.ffn.layer_norm)
    fill(layer.ffn.linear_0, 4 * WIDTH, WIDTH)
    fill(layer.ffn.linear_1, WIDTH, 4 * WIDTH)
fill_attention(model.decoder.layer[0].attention, WIDTH, 2 * WIDTH, WIDTH)
model.decoder.embeddings.weight, model.decoder.projection.weight = make(SIZE, WIDTH), make(SIZE, WIDTH)
model.decoder.scale_embeddings = False
model.config.lang_ids = [WORDS.index(name) for name in LANGUAGES]
model.config.suppress_ids = model.config.suppress_ids_begin = []
model.config.alignment_heads = [(0, 0)]
model.register_vocabulary(WORDS)
model.validate()
model.save(sys.argv[1])
tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="word0"))
tokenizer.add_special_tokens(SPECIAL)
tokenizer.save(f"{sys.argv[1]}/tokenizer.json")
"""


def speak(text: str = SPOKEN) -> list[float]:
    """Return a voice that says vowels, a quarter of a second each, from -1 to 1."""
    noise = random.Random(0)  # noqa: S311 - the breath in a voice
    sound: list[float] = []
    for vowel in text:
        voice = [pulse + 0.003 * noise.gauss(0, 1) for pulse in list_pulses(RATE // 4)]
        for frequency, bandwidth in VOWELS[vowel]:
            voice = list(resonate(voice, frequency, bandwidth))
        loudest = max(map(abs, voice))
        sound += [0.5 * each / loudest for each in voice] + SILENCE[: RATE // 20]
    return sound


def list_pulses(length: int) -> Iterator[float]:
    """Yield 1 where the vocal cords close, and 0 elsewhere; the pitch falls and trembles."""
    phase = 0.0
    for step in range(length):
        before = phase
        phase += PITCH * (1.1 - 0.2 * step / length) * (1 + 0.03 * math.sin(10 * math.pi * step / RATE)) / RATE
        yield float(int(phase) - int(before))


def resonate(voice: Iterable[float], frequency: int, bandwidth: int) -> Iterator[float]:
    """Yield the voice after a resonator, one cavity of a mouth."""
    radius = math.exp(-math.pi * bandwidth / RATE)
    turn, last, before = 2 * radius * math.cos(2 * math.pi * frequency / RATE), 0.0, 0.0
    for each in voice:
        last, before = each + turn * last - radius * radius * before, last
        yield last


def write_wav(sound: Iterable[float]) -> bytes:
    """Return a recording as the content of a WAV file."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"".join(struct.pack("<h", round(30_000 * each)) for each in sound))
    return content.getvalue()
