import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVolumeWork, workBetween } from './kubelet-metrics.ts';

const PUBLISH = 'migrated="false",method_name="/csi.v1.Node/NodePublishVolume"';
const METRICS = `\
# TYPE csi_operations_seconds histogram
csi_operations_seconds_bucket{driver_name="a",grpc_status_code="OK",${PUBLISH},le="0.1"} 7
csi_operations_seconds_sum{driver_name="a",grpc_status_code="OK",${PUBLISH}} 0.5
csi_operations_seconds_count{driver_name="a",grpc_status_code="OK",${PUBLISH}} 7
csi_operations_seconds_sum{driver_name="a",grpc_status_code="NotFound",${PUBLISH}} 0.25
csi_operations_seconds_count{driver_name="a",grpc_status_code="NotFound",${PUBLISH}} 1
csi_operations_seconds_count{driver_name="a",grpc_status_code="OK",migrated="false",method_name="/csi.v1.Node/NodeUnpublishVolume"} 99
csi_operations_seconds_count{driver_name="b",grpc_status_code="OK",${PUBLISH}} 99
storage_operation_duration_seconds_sum{migrated="false",operation_name="volume_mount",status="success",volume_plugin="kubernetes.io/csi:a"} 2e-1
storage_operation_duration_seconds_count{migrated="false",operation_name="volume_mount",status="success",volume_plugin="kubernetes.io/csi:a"} 3
storage_operation_duration_seconds_count{migrated="false",operation_name="volume_unmount",status="success",volume_plugin="kubernetes.io/csi:a"} 99
rest_client_rate_limiter_duration_seconds_sum{host="x",verb="GET"} 1
rest_client_rate_limiter_duration_seconds_count{host="x",verb="GET"} 10
rest_client_rate_limiter_duration_seconds_sum{host="x",verb="POST"} 2
rest_client_rate_limiter_duration_seconds_count{host="x",verb="POST"} 20
`;

test('of a driver, its publish calls count, also those that failed', () => {
  assert.deepEqual(readVolumeWork(METRICS).publishes('a'), { count: 8, seconds: 0.75 });
});

test('of a plugin, its mounts count', () => {
  assert.deepEqual(readVolumeWork(METRICS).mounts('kubernetes.io/csi:a'), { count: 3, seconds: 0.2 });
});

test('waiting is that of all requests', () => {
  assert.deepEqual(readVolumeWork(METRICS).waiting, { count: 30, seconds: 3 });
});

test('what the kubelet does not name was not done', () => {
  assert.deepEqual(readVolumeWork(METRICS).mounts('kubernetes.io/empty-dir'), { count: 0, seconds: 0 });
});

test('work between two moments', () => {
  assert.deepEqual(workBetween({ count: 1, seconds: 2 }, { count: 4, seconds: 2.5 }), { count: 3, seconds: 0.5 });
});
