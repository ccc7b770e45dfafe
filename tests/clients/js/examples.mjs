// What the documentation of fhir-kit-client shows, against a running server: node examples.mjs BASE TOKEN
// Prints one line of JSON for each example: {"name", "error"}.
import assert from 'node:assert/strict';
import { CapabilityTool, Client } from 'fhir-kit-client';

const [baseUrl, bearerToken] = process.argv.slice(2);
const client = new Client({ baseUrl, bearerToken });
const person = (family, more = {}) => ({ resourceType: 'Patient', name: [{ family, given: ['Jane'] }], ...more });
const create = (body, options) => client.create({ resourceType: body.resourceType, body, options });
const ids = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource.id);
const status = (promise) => promise.then(
  (result) => Client.httpFor(result).response.status,
  (error) => error.response?.status,
);

const examples = {
  async 'read and vread'() {
    const made = await create(person('Read'));
    const read = await client.read({ resourceType: 'Patient', id: made.id });
    assert.equal(read.resourceType, 'Patient');
    assert.equal(Client.httpFor(read).response.headers.get('etag'), 'W/"1"');
    const first = await client.vread({ resourceType: 'Patient', id: made.id, version: '1' });
    assert.deepEqual(first, read);
  },
  async 'what is not there'() {
    assert.equal(await status(client.read({ resourceType: 'Patient', id: 'never' })), 404);
  },
  async 'create, minimal'() {
    const minimal = await create(person('Minimal'), { headers: { Prefer: 'return=minimal' } });
    const { response } = Client.httpFor(minimal);
    assert.equal(response.status, 201);
    assert.match(response.headers.get('Location'), /\/Patient\/.+\/_history\/1$/);
  },
  async update() {
    const made = await create(person('Update'));
    const changed = await client.update({ resourceType: 'Patient', id: made.id, body: { ...made, active: true } });
    assert.equal(changed.active, true);
  },
  async 'conditional update'() {
    const identifier = [{ system: 'urn:js', value: 'conditional' }];
    const asked = { resourceType: 'Patient', searchParams: { identifier: 'urn:js|conditional' } };
    const made = await client.update({ ...asked, body: person('Conditional', { identifier }) });
    const again = await client.update({ ...asked, body: person('Conditional', { identifier, active: true }) });
    assert.equal(again.id, made.id);
    assert.equal(again.active, true);
  },
  async patch() {
    const made = await create(person('Patch', { active: true }));
    const patched = await client.patch({
      resourceType: 'Patient',
      id: made.id,
      jsonPatch: [
        { op: 'replace', path: '/active', value: false },
        { op: 'add', path: '/name/-', value: { use: 'nickname', text: 'Jay' } },
      ],
    });
    assert.equal(patched.active, false);
    assert.equal(patched.name[1].text, 'Jay');
  },
  async delete() {
    const made = await create(person('Delete'));
    await client.delete({ resourceType: 'Patient', id: made.id });
    assert.equal(await status(client.read({ resourceType: 'Patient', id: made.id })), 410);
  },
  async 'search by GET and by POST'() {
    const made = await create(person('Searched', { birthDate: '1980-02-01' }));
    const searchParams = { name: 'Searched', birthdate: 'lt1990-01-01', _count: '20' };
    assert.deepEqual(ids(await client.search({ resourceType: 'Patient', searchParams })), [made.id]);
    const posted = await client.search({ resourceType: 'Patient', searchParams, options: { postSearch: true } });
    assert.deepEqual(ids(posted), [made.id]);
  },
  async 'search of the system'() {
    const bundle = await client.search({ searchParams: { _type: 'Patient,Practitioner' } });
    assert.equal(bundle.type, 'searchset');
    await client.systemSearch({ searchParams: { _type: 'Patient' } });
  },
  async 'search in a compartment'() {
    const made = await create(person('Compartment'));
    const subject = { reference: `Patient/${made.id}` };
    const condition = await create({ resourceType: 'Condition', subject, code: { text: 'x' } });
    const compartment = { resourceType: 'Patient', id: made.id };
    assert.deepEqual(ids(await client.search({ resourceType: 'Condition', compartment })), [condition.id]);
    assert.deepEqual(ids(await client.compartmentSearch({ resourceType: 'Condition', compartment })), [condition.id]);
  },
  async pages() {
    const made = [];
    for (let i = 0; i < 5; i += 1) made.push((await create(person('Paged'))).id);
    const seen = [];
    let bundle = await client.search({ resourceType: 'Patient', searchParams: { family: 'Paged', _count: '2' } });
    while (bundle) {
      seen.push(...ids(bundle));
      bundle = (await client.nextPage({ bundle })) ?? null;
    }
    assert.deepEqual([...seen].sort(), made.sort());
  },
  async 'operations'() {
    const made = await create(person('Operated'));
    const record = await client.operation({ name: 'everything', resourceType: 'Patient', id: made.id, method: 'GET' });
    assert.deepEqual(ids(record), [made.id]);
    const posted = await client.operation({ name: 'everything', resourceType: 'Patient', id: made.id });
    assert.deepEqual(ids(posted), [made.id]);
    const outcome = await client.operation({ name: 'validate', resourceType: 'Patient', input: person('Valid') });
    assert.equal(outcome.resourceType, 'OperationOutcome');
  },
  async 'batch and transaction'() {
    const made = await create(person('Batched'));
    const batch = await client.batch({
      body: {
        resourceType: 'Bundle',
        type: 'batch',
        entry: [
          { request: { method: 'GET', url: `Patient/${made.id}` } },
          { request: { method: 'GET', url: `Observation?patient=${made.id}&_count=5` } },
        ],
      },
    });
    assert.deepEqual(batch.entry.map((entry) => entry.response.status), ['200', '200']);
    const entry = [{ resource: person('Transacted'), request: { method: 'POST', url: 'Patient' } }];
    const body = { resourceType: 'Bundle', type: 'transaction', entry };
    assert.equal((await client.transaction({ body, options: { keepalive: false } })).entry.length, 1);
  },
  async history() {
    const made = await create(person('History'));
    const one = await client.history({ resourceType: 'Patient', id: made.id });
    assert.equal(one.type, 'history');
    assert.equal(one.entry.length, 1);
    assert.equal((await client.history({ resourceType: 'Patient' })).type, 'history');
    assert.equal((await client.history()).type, 'history');
  },
  async 'capabilities'() {
    const tool = new CapabilityTool(await client.capabilityStatement());
    assert.equal(tool.serverCan('transaction'), true);
    assert.equal(tool.serverSearch('_id'), true);
    assert.equal(tool.resourceCan('Patient', 'create'), true);
    assert.equal(tool.resourceSearch('Patient', 'birthdate'), true);
    assert.ok(tool.interactionsFor({ resourceType: 'Patient' }).includes('read'));
    assert.ok(tool.searchParamsFor({ resourceType: 'Patient' }).includes('name'));
  },
  async 'references'() {
    const made = await create(person('Referred', {
      contained: [{ resourceType: 'Organization', id: 'clinic', name: 'Clinic' }],
      managingOrganization: { reference: '#clinic' },
    }));
    assert.equal((await client.resolve({ reference: `Patient/${made.id}` })).id, made.id);
    assert.equal((await client.resolve({ reference: `${baseUrl}/Patient/${made.id}` })).id, made.id);
    assert.equal((await client.resolve({ reference: '#clinic', context: made })).name, 'Clinic');
  },
  async 'raw requests'() {
    const headers = { 'Content-Type': 'application/fhir+json' }; // the client names no kind of body here
    const made = await client.request('Patient', { method: 'POST', body: person('Raw'), options: { headers } });
    assert.equal((await client.request(`Patient/${made.id}`)).id, made.id);
    await client.request(`Patient/${made.id}`, { method: 'DELETE' });
  },
};

for (const [name, example] of Object.entries(examples)) {
  try {
    await example();
    console.log(JSON.stringify({ name, error: null }));
  } catch (error) {
    console.log(JSON.stringify({ name, error: `${error.message} ${JSON.stringify(error.response?.data ?? null)}` }));
  }
}
