// ── A sound and a notification, for those who ask for them ──────────────────────────────────────

const bellPlace = `${base}bell`;
/** Whether the visitor wants to be told of what comes while they look elsewhere. */
let bell = quietly(() => localStorage.getItem(bellPlace)) === "on";
/** How many unseen messages there were when the visitor was last told. */
let rung = 0;

/** Plays a short tone. */
function ring() {
  const audio = new AudioContext();
  const [tone, volume] = [audio.createOscillator(), audio.createGain()];
  const end = audio.currentTime + 0.6;
  tone.frequency.value = 880;
  volume.gain.value = 0.2;
  volume.gain.exponentialRampToValueAtTime(0.001, end);
  tone.connect(volume).connect(audio.destination);
  tone.onended = () => audio.close();
  tone.start();
  tone.stop(end);
}

/** Tells of new messages without quoting them, because others may see the screen. */
function tellOf(unseen) {
  if (bell && unseen > rung) {
    quietly(ring);
    // Some browsers let no page show a notification. Without permission, none is shown.
    quietly(() => {
      const told = new Notification(config.name, { body: page.latest.textContent.trim(), tag: base });
      told.onclick = () => {
        focus();
        told.close();
      };
    });
  }
  rung = unseen;
}

page.bell.setAttribute("aria-pressed", bell);
page.bell.addEventListener("click", () => {
  bell = !bell;
  page.bell.setAttribute("aria-pressed", bell);
  quietly(() => localStorage.setItem(bellPlace, bell ? "on" : ""));
  if (!bell) return;
  quietly(ring);
  quietly(() => Notification.requestPermission());
});
