# shellcheck shell=bash disable=SC2034,SC2154 # scripts/services reads and sets the variables
# Apache Kafka: one process that is broker and controller. It needs Java 17 or newer, and Maven to fetch it.

kafka_variable=TIDINGS_TEST_KAFKA_URL
kafka_version=4.3.1
kafka_container_port=29092

kafka_url() { echo "kafka://127.0.0.1:$1"; }

kafka_program() {
  [[ -e $bin/kafka-$kafka_version/kafka_2.13-$kafka_version.jar ]] && command -v java >/dev/null || return 1
  echo "$bin/kafka-$kafka_version"
}

kafka_remedy() { echo "apt-get install openjdk-17-jre-headless maven && scripts/services up --install"; }

kafka_install() {
  local work
  say kafka "fetching Kafka $kafka_version into ${bin#"$project"/}"
  work=$(mktemp -d)
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidings</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  mvn --quiet --batch-mode --file "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$bin/kafka-$kafka_version"
  rm -rf "$work"
}

kafka_start() { # port, data folder
  local config=$root/kafka/server.properties controller
  controller=$(free_port)
  sed -e "s#@PORT@#$1#; s#@CONTROLLER@#$controller#; s#@DATA@#$2#" "$project/scripts/services.d/kafka.properties" >"$config"
  kafka_java kafka.tools.StorageTool format --standalone --cluster-id "$(kafka_java kafka.tools.StorageTool random-uuid)" --config "$config" \
    >"$root/kafka/log" 2>&1
  spawn kafka java -Xmx512m -Dtidings.data="$2" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$(kafka_program)/*" kafka.Kafka "$config"
}

kafka_java() { java -Xmx128m -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$(kafka_program)/*" "$@"; }

# A broker listens when it has caught up, so that who connects can use it.
kafka_ready() { answers "127.0.0.1:$1"; } # port
