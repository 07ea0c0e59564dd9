import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRequests, requestsBetween, requestsOfNodes } from './api-requests.ts';

const METRICS = `
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",component="apiserver",group="authorization.k8s.io",resource="subjectaccessreviews",verb="POST",version="v1"} 40
apiserver_request_total{code="201",group="authentication.k8s.io",resource="tokenreviews",verb="POST"} 20
apiserver_request_total{code="200",group="bpffs.dev",resource="bpfmaps",verb="LIST"} 2
apiserver_request_total{code="200",group="bpffs.dev",resource="bpfmaps",verb="WATCH"} 3
apiserver_request_total{code="201",group="events.k8s.io",resource="events",verb="POST"} 4
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",verb="PATCH"} 6
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",verb="PUT"} 100
apiserver_request_total{code="200",group="",resource="configmaps",verb="LIST"} 1000
apiserver_longrunning_requests{group="bpffs.dev",resource="bpfmaps",verb="WATCH"} 5
apiserver_longrunning_requests{group="bpffs.dev",resource="bpfmaps",verb="CONNECT"} 50
`;
const REQUESTS = { lists: 2, watches: 8, SubjectAccessReviews: 40, TokenReviews: 20, Events: 4, renewals: 6 };

test('a watch counts from its beginning, and what others ask for does not', () => {
  assert.deepEqual(parseRequests(METRICS), REQUESTS);
});

test('what was before does not count', () => {
  const later = { ...REQUESTS, lists: 5 };
  const none = { watches: 0, SubjectAccessReviews: 0, TokenReviews: 0, Events: 0, renewals: 0 };
  assert.deepEqual(requestsBetween(REQUESTS, later), { lists: 3, ...none });
});

test("the controller's renewals are no requests of nodes", () => {
  assert.equal(requestsOfNodes(REQUESTS), 74);
});
