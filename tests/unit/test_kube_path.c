/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "discovery/kube_path.h"

static const struct reflector_request first_list = {
    .op = REFLECTOR_LIST,
    .resource_version = "0",
    .limit = 500,
};

static void check(const struct kube_target *target, const struct reflector_request *request,
                  const char *expected)
{
	char *path = kube_path(target, request);

	assert_non_null(path);
	assert_string_equal(path, expected);
	free(path);
}

static void slices_by_selector(void **state)
{
	const struct kube_target target = {KUBE_SLICES_V1, "blog", "app=microposts-sample", NULL};

	(void)state;
	check(&target, &first_list,
	      "/apis/discovery.k8s.io/v1/namespaces/blog/endpointslices"
	      "?labelSelector=app%3Dmicroposts-sample&limit=500&resourceVersion=0");
}

static void old_slices_by_services(void **state)
{
	const struct kube_target target = {KUBE_SLICES_V1BETA1, "default", NULL, "a, b"};

	(void)state;
	check(&target, &first_list,
	      "/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices"
	      "?labelSelector=kubernetes.io%2Fservice-name%20in%20%28a%2Cb%29"
	      "&limit=500&resourceVersion=0");
}

static void slices_by_both(void **state)
{
	const struct kube_target target = {KUBE_SLICES_V1, "d", "tier in (x,y)", "a"};

	(void)state;
	check(&target, &first_list,
	      "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices"
	      "?labelSelector=tier%20in%20%28x%2Cy%29%2Ckubernetes.io%2Fservice-name%20in%20%28a%29"
	      "&limit=500&resourceVersion=0");
}

static void endpoints_by_selector_and_by_name(void **state)
{
	const struct kube_target by_selector = {KUBE_ENDPOINTS, "d", "app!=x", NULL};
	const struct kube_target by_name = {KUBE_ENDPOINTS, "d", NULL, " sample "};

	(void)state;
	check(
	    &by_selector, &first_list,
	    "/api/v1/namespaces/d/endpoints?labelSelector=app%21%3Dx&limit=500&resourceVersion=0");
	check(&by_name, &first_list,
	      "/api/v1/namespaces/d/endpoints?fieldSelector=metadata.name%3Dsample"
	      "&limit=500&resourceVersion=0");
}

static void list_without_version_or_limit(void **state)
{
	const struct kube_target target = {KUBE_ENDPOINTS, "d", NULL, NULL};
	const struct reflector_request request = {.op = REFLECTOR_LIST};

	(void)state;
	check(&target, &request, "/api/v1/namespaces/d/endpoints");
}

static void later_page(void **state)
{
	const struct kube_target target = {KUBE_SLICES_V1, "d", "a=b", NULL};
	const struct reflector_request request = {
	    .op = REFLECTOR_LIST,
	    .continue_token = "eyJ2+/=&x",
	    .limit = 500,
	};

	(void)state;
	check(&target, &request,
	      "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices"
	      "?labelSelector=a%3Db&limit=500&continue=eyJ2%2B%2F%3D%26x");
}

static void watch(void **state)
{
	const struct kube_target target = {KUBE_SLICES_V1, "d", "a=b", NULL};
	const struct reflector_request request = {
	    .op = REFLECTOR_WATCH,
	    .resource_version = "12746",
	    .timeout_s = 1234,
	};

	(void)state;
	check(&target, &request,
	      "/apis/discovery.k8s.io/v1/namespaces/d/endpointslices?labelSelector=a%3Db&watch=1"
	      "&allowWatchBookmarks=true&timeoutSeconds=1234&resourceVersion=12746");
}

static void whatever_a_setting_holds_is_encoded(void **state)
{
	const struct kube_target target = {KUBE_ENDPOINTS, "../x?y#\xC3\xBC", "a=\r\n &%", NULL};
	const struct reflector_request request = {.op = REFLECTOR_LIST,
	                                          .resource_version = "1&a=b"};

	(void)state;
	check(&target, &request,
	      "/api/v1/namespaces/..%2Fx%3Fy%23%C3%BC/endpoints"
	      "?labelSelector=a%3D%0D%0A%20%26%25&resourceVersion=1%26a%3Db");
}

static void resources_by_name(void **state)
{
	(void)state;
	assert_string_equal(kube_kind_resource(KUBE_SLICES_V1), "endpointslices.discovery.k8s.io");
	assert_string_equal(kube_kind_resource(KUBE_SLICES_V1BETA1),
	                    "endpointslices.discovery.k8s.io");
	assert_string_equal(kube_kind_resource(KUBE_ENDPOINTS), "endpoints");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(slices_by_selector),
	    cmocka_unit_test(old_slices_by_services),
	    cmocka_unit_test(slices_by_both),
	    cmocka_unit_test(endpoints_by_selector_and_by_name),
	    cmocka_unit_test(list_without_version_or_limit),
	    cmocka_unit_test(later_page),
	    cmocka_unit_test(watch),
	    cmocka_unit_test(whatever_a_setting_holds_is_encoded),
	    cmocka_unit_test(resources_by_name),
	};

	return cmocka_run_group_tests_name("kube_path", tests, NULL, NULL);
}
