// A SMART app in one file: discovery, PKCE, the code, the token, FHIR, refresh. No library, to show what happens.
// https://hl7.org/fhir/smart-app-launch/app-launch.html

const CLIENT = "demo-app";
const HOME = `${location.origin}/demo-app/`;
const BASE = `${location.origin}/fhir`; // the only server that it trusts: a launch from elsewhere is refused
const SCOPE = "launch/patient openid fhirUser offline_access patient/Patient.rs patient/Observation.rs";

const $ = (id) => document.getElementById(id);

async function json(address, options = {}) {
  const answer = await fetch(address, { cache: "no-store", ...options });
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error_description ?? body.issue?.[0]?.diagnostics ?? `${answer.status}`);
  return body;
}

const discovered = () => json(`${BASE}/.well-known/smart-configuration`);

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

async function challenge(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

// 1. Send the browser to the authorization server.
async function connect(scope, launch) {
  const pending = { state: random(), verifier: random() };
  sessionStorage.setItem("pending", JSON.stringify(pending));
  const address = new URL((await discovered()).authorization_endpoint);
  address.search = new URLSearchParams({
    response_type: "code",
    client_id: CLIENT,
    redirect_uri: HOME,
    scope,
    state: pending.state,
    aud: BASE,
    code_challenge: await challenge(pending.verifier),
    code_challenge_method: "S256",
    ...(launch ? { launch } : {}),
  });
  location.assign(address);
}

// 2. It comes back with a code, which is worth a token together with the verifier.
async function redeem(answer) {
  const pending = JSON.parse(sessionStorage.getItem("pending") ?? "{}");
  sessionStorage.removeItem("pending");
  history.replaceState(null, "", HOME);
  if (!pending.state || answer.get("state") !== pending.state) throw new Error("This answer is to no question of ours.");
  const server = await discovered();
  if (answer.get("iss") !== server.issuer) throw new Error("This answer is of another server.");
  if (answer.has("error")) throw new Error(answer.get("error_description") ?? answer.get("error"));
  keep(await token({
    grant_type: "authorization_code",
    code: answer.get("code"),
    redirect_uri: HOME,
    code_verifier: pending.verifier,
  }));
}

async function token(fields) {
  const body = new URLSearchParams({ ...fields, client_id: CLIENT });
  return json((await discovered()).token_endpoint, { method: "POST", body });
}

const keep = (response) => sessionStorage.setItem("token", JSON.stringify(response));
const kept = () => JSON.parse(sessionStorage.getItem("token") ?? "null");

// 3. Read with it.
const fhir = (path) =>
  json(`${BASE}/${path}`, { headers: { Authorization: `Bearer ${kept().access_token}`, Accept: "application/fhir+json" } });

async function show() {
  const response = kept();
  $("record").hidden = false;
  $("facts").replaceChildren(...Object.entries(response).flatMap(([name, value]) => fact(name, value)));
  const patient = response.patient ? await fhir(`Patient/${encodeURIComponent(response.patient)}`) : null;
  const name = patient?.name?.[0];
  $("title").textContent = name ? name.text ?? [...(name.given ?? []), name.family].join(" ") : "No patient";
  // In an EHR launch without `need_patient_banner` the frame around us shows whose record it is.
  const banner = [patient?.birthDate && `born ${patient.birthDate}`, patient?.gender].filter(Boolean).join(", ");
  $("banner").textContent = response.need_patient_banner === false ? "" : banner;
  if (!patient) return;
  const found = await fhir(`Observation?patient=${patient.id}&category=laboratory&_sort=-date&_count=20`);
  $("labs").replaceChildren(...(found.entry ?? []).map((entry) => row(entry.resource)));
}

function fact(name, value) {
  const term = Object.assign(document.createElement("dt"), { textContent: name });
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const secret = /token$/.test(name) && text.length > 24;
  return [term, Object.assign(document.createElement("dd"), { textContent: secret ? `${text.slice(0, 20)}…` : text, id: `fact-${name}` })];
}

function row(observation) {
  const code = observation.code;
  const quantity = observation.valueQuantity;
  const value = quantity ? `${quantity.value} ${quantity.unit ?? ""}` : observation.valueString
    ?? observation.valueCodeableConcept?.text ?? observation.valueCodeableConcept?.coding?.[0]?.display ?? "–";
  const cells = [code.text ?? code.coding?.[0]?.display ?? code.coding?.[0]?.code, value, (observation.effectiveDateTime ?? "").slice(0, 10)];
  const line = document.createElement("tr");
  line.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return line;
}

function say(text, bad = false) {
  Object.assign($("message"), { textContent: text, hidden: false, className: bad ? "bad" : "" });
}

async function main() {
  const query = new URLSearchParams(location.search);
  if (location.pathname.endsWith("/launch.html")) {
    if (query.get("iss") !== BASE) throw new Error("This launch is of another server.");
    return connect(SCOPE.replace("launch/patient", "launch"), query.get("launch") ?? "");
  }
  if (query.has("state")) await redeem(query);
  if (kept()) return show();
  $("start").hidden = false;
}

$("scope")?.append(SCOPE);
$("start")?.addEventListener("submit", (event) => {
  event.preventDefault();
  connect($("scope").value.trim().replace(/\s+/g, " ")).catch(failed);
});
$("forget")?.addEventListener("click", () => {
  sessionStorage.clear();
  location.assign(HOME);
});
$("refresh")?.addEventListener("click", async () => {
  try {
    // An answer to a refresh may leave out what stays as it was.
    const fresh = await token({ grant_type: "refresh_token", refresh_token: kept().refresh_token ?? "" });
    keep({ ...kept(), ...fresh });
    await show();
    say("The app has a new token.");
  } catch (error) {
    failed(error);
  }
});

function failed(error) {
  say(error.message, true);
  if ($("start")) $("start").hidden = kept() !== null;
}

main().catch(failed);
